"""A GAN that draws further X-rays, and how good they are."""
