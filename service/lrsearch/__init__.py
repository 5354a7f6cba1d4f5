"""lrsearch finds the learning rates for finetuning a pretrained image classifier."""
