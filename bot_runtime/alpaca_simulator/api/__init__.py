"""HTTP without sockets: requests in, Alpaca's bodies out."""
