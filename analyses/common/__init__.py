"""What the analyses share: the shell, studies, and words."""
