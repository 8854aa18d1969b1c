"""Files and devices: reading what others may have written, writing as a whole or not at all."""
