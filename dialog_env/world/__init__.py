"""The world: a batch of dialogs over a gallery, and the ranking of its images. It imports no Gymnasium."""
