"""What the finetune engine is worth: against a plain PyTorch script, and against the machine."""
