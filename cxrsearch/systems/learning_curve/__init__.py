"""Would more labels help: the winner's recipe on growing shares of the patients."""
