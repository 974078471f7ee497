"""What bringing a reading onto the chain costs, our way and others': each module measures one way, by its receipts."""
