"""What a study's best is worth: corrected for luck, confirmed by reruns, and both in words."""
