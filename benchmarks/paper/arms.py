"""Who is compared: learners with one user, then users with one learner.

All learners of a configuration begin from the same supervised weights, trained once for each seed and kept under a
hash of all they depend on. Those that go on from there make the same number of updates.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One line of a table.

    Args:
        label: what the line is called.
        agent: as on the command line of `benchmarks run`.
        user: the user simulator; that of the benchmark where empty.
    """

    label: str
    agent: str
    user: str = ""


SUPERVISED = Arm("supervised", "continued@paper:epochs=0")
CONTINUED = Arm("supervised, trained on", "continued@paper")
CONTINUED_AGAINST_5 = Arm("supervised, trained on against 5 negatives", "continued@paper:negatives=5")
UNSEEN = Arm("supervised, no image twice", 'unseen:inner=continued@paper,settings={"epochs": 0}')
SCST = Arm("SCST", "scst@paper")
SCST_TUNED = Arm("SCST, tuned, with the supervised loss", "scst@tuned")
POLICY_IMPROVEMENT = Arm("policy improvement", "policy_improvement@paper")
WITHOUT_LOOK_AHEAD = Arm("policy improvement without look-ahead", "policy_improvement@paper:contrast=none")
RELEASED_SUPERVISED = Arm("released: supervised", "continued:epochs=0")
RELEASED_CONTINUED = Arm("released: supervised, trained on", "continued")
RELEASED_SCST = Arm("released: SCST (ours)", "scst")
RELEASED_POLICY_IMPROVEMENT = Arm("released: policy improvement", "policy_improvement")
RELEASED_NEAREST = Arm("released: policy improvement, K = 1", "policy_improvement:nearest=1")
RELEASED_WITHOUT_LOOK_AHEAD = Arm("released: policy improvement without look-ahead", "policy_improvement:contrast=none")

LEARNERS = (
    Arm("random", "random"),
    Arm("greedy", "greedy"),
    SUPERVISED,
    CONTINUED,
    CONTINUED_AGAINST_5,
    UNSEEN,
    SCST,
    SCST_TUNED,
    POLICY_IMPROVEMENT,
    WITHOUT_LOOK_AHEAD,
    RELEASED_SUPERVISED,
    RELEASED_CONTINUED,
    RELEASED_SCST,
    RELEASED_POLICY_IMPROVEMENT,
    RELEASED_NEAREST,
    RELEASED_WITHOUT_LOOK_AHEAD,
)

ERROR = 0.14
"""Share of what the shipped captioner states about the target that is false, by `simulator evaluate`."""

LISTENER = "supervised@paper:epochs=10,drop_after=7"
"""Who hears every kind of feedback: one network with one training, so that only the feedback differs."""

LANGUAGE = Arm("language", LISTENER)
FEEDBACK = (
    LANGUAGE,
    *(Arm(f"{count} attribute{'s' * (count > 1)}", LISTENER, f"attributes:{count}") for count in (1, 3, 10)),
    *(
        Arm(f"{count} attributes, {ERROR:.0%} of them wrong", LISTENER, f"attributes:{count},error={ERROR}")
        for count in (3, 10)
    ),
    *(Arm(f"{count} relative attribute{'s' * (count > 1)}", LISTENER, f"relative:{count}") for count in (1, 3, 10)),
    Arm("relevance", LISTENER, "relevance"),
    Arm("relevance, Rocchio", "rocchio", "relevance"),
)

ARMS = (*LEARNERS, *FEEDBACK)


@dataclass(frozen=True)
class Comparison:
    """A claim: the first arm is better than the second."""

    better: Arm
    than: Arm


CLAIMS = (
    Comparison(POLICY_IMPROVEMENT, CONTINUED),
    Comparison(POLICY_IMPROVEMENT, CONTINUED_AGAINST_5),
    Comparison(POLICY_IMPROVEMENT, WITHOUT_LOOK_AHEAD),
    Comparison(POLICY_IMPROVEMENT, SCST),
    Comparison(POLICY_IMPROVEMENT, SCST_TUNED),
    Comparison(SCST, CONTINUED),
    Comparison(SCST_TUNED, CONTINUED),
    Comparison(UNSEEN, SUPERVISED),
    Comparison(RELEASED_POLICY_IMPROVEMENT, RELEASED_CONTINUED),
    Comparison(RELEASED_POLICY_IMPROVEMENT, RELEASED_NEAREST),
    Comparison(RELEASED_POLICY_IMPROVEMENT, RELEASED_WITHOUT_LOOK_AHEAD),
    Comparison(RELEASED_SCST, RELEASED_CONTINUED),
    *(Comparison(LANGUAGE, arm) for arm in FEEDBACK if arm is not LANGUAGE),
)
