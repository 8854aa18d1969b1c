"""A window on the screen for the render mode "human". Needs the extra `human`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pygame


class Window:
    """Shows pictures one after the other; it opens with the first of them.

    Pygame has one window in a process, which all that are open share. A copy, or one that comes back from a pickle, is
    closed at first.

    Args:
        title: of the window.
        rate: pictures a second; `show` waits until the next may come.

    Raises:
        DependencyNotInstalled: pygame is not installed.
    """

    def __init__(self, title: str, rate: float) -> None:
        try:
            import pygame  # noqa: F401 - only to refuse here what would fail at the first picture
        except ImportError as error:
            raise DependencyNotInstalled(
                'render_mode="human" needs pygame, which is not installed; run pip install "dialog-retrieval[human]"'
            ) from error
        self.title, self.rate = title, rate
        self._clock: pygame.time.Clock | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clock": None}

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Shows a picture (H, W, 3)."""
        import pygame

        height, width, _ = picture.shape
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != (width, height):  # also where another one closed the window
            pygame.display.init()
            pygame.display.set_caption(self.title)
            screen = pygame.display.set_mode((width, height))
        self._clock = self._clock or pygame.time.Clock()
        pygame.surfarray.blit_array(screen, picture.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self.rate)

    def close(self) -> None:
        """Closes the window, if it is open."""
        if self._clock is not None:
            import pygame

            pygame.display.quit()
            self._clock = None
