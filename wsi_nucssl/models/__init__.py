"""Three-class ResUNets: encoders, decoder, the builder, and weights in and out."""
