"""Dense video captioning with a bi-modal transformer (BMT): captioner, proposal generator, sound features."""
