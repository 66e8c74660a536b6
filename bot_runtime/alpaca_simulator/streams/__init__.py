"""The two websockets without sockets: frames in, frames out."""
