"""Where and how fast training runs: device, precision, memory, compiled steps."""
