// Without this script every form works by itself. With it a page is not left while the server thinks, a form is sent
// once, keys choose, and what was typed is kept where the server does not answer.
"use strict";

let busy = false;

async function send(form, button) {
  if (busy) return;
  busy = true;
  const main = document.getElementById("main");
  main.setAttribute("aria-busy", "true");
  const data = new URLSearchParams(new FormData(form));
  if (button && button.name) data.set(button.name, button.value);
  try {
    const response = await fetch(form.action, { method: "POST", body: data, redirect: "follow" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const kept = response.ok ? "" : data.get(form.dataset.keep || "") || "";
    document.title = page.title;
    main.replaceWith(page.getElementById("main"));
    document.querySelector("footer").replaceWith(page.querySelector("footer"));
    document.querySelector("nav").replaceWith(page.querySelector("nav"));
    if (new URL(response.url).pathname !== location.pathname) history.pushState(null, "", response.url);
    const field = document.querySelector("[autofocus]") || document.getElementById("main");
    if (field.name === "sentence") field.value = kept;
    field.focus({ preventScroll: matchMedia("(hover: hover)").matches });
    if (!matchMedia("(hover: hover)").matches) window.scrollTo({ top: 0 });
  } catch (error) {
    tell("The server does not answer. What you typed is still here; try it again in a moment.");
    main.removeAttribute("aria-busy");
  }
  busy = false;
}

function tell(text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  document.querySelector(".notice").replaceChildren(paragraph);
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target, event.submitter);
});

// The second click of a double one may come when the answer is there, and would press what lies in that place now.
document.addEventListener("click", (event) => event.detail > 1 && event.preventDefault(), true);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const field = document.getElementById("sentence");
  if (event.target === field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  if (event.key === "/" && field) {
    event.preventDefault();
    field.focus();
    return;
  }
  const button = [...document.querySelectorAll("button[data-key]")].find((each) => each.dataset.key === event.key);
  if (button && !button.disabled) {
    event.preventDefault();
    button.click();
  }
});

// The page that the browser keeps for its back button may be out of date.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
window.addEventListener("popstate", () => location.reload());
