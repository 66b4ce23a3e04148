"""From records to losses: the objectives, and one step of training."""
