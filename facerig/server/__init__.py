"""The servers: our own protocol and NVIDIA Audio2Face-3D's, in front of one engine. grpc is imported only below
here."""
