"""Settings that earlier releases called otherwise than Stable-Baselines3 does."""

FORMER_NAMES = {
    "steps": "total_timesteps",
    "dialogs": "n_envs",
    "discount": "gamma",
    "rollout": "n_steps",
    "batch": "batch_size",
    "passes": "n_epochs",
    "entropy": "ent_coef",
    "memory": "buffer_size",
    "warm_up": "learning_starts",
    "updates": "gradient_steps",
    "explored": "exploration_fraction",
    "explored_last": "exploration_final_eps",
    "memory_size": "lstm_hidden_size",
}
"""As files of those releases have them, to what Stable-Baselines3 and this release call them."""
