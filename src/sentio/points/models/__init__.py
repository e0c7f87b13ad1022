"""The trainable up-samplers, one file each."""
