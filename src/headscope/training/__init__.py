"""Fine-tuning: Devlin et al.'s recipe, resumable to the bit."""
