"""Fine-tuning on annotated images, and the training loop that pretraining shares."""
