"""Tables of trained models as commands: the paper's and ours, cells that are pretrained, fine-tuned and scored."""
