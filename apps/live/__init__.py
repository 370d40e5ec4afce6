"""Pages that update themselves: pokes through the channel layer, and the pages that listen to them."""
