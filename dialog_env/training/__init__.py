"""What all trainings of networks share."""
