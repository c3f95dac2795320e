"""Other people's APIs, MeTube's and cobalt's, on the same queue, so that programs written for them can be used."""
