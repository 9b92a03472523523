"""The search engine: spaces, samplers, studies and runners. It knows nothing of X-rays."""
