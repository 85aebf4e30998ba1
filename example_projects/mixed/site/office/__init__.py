"""The site: pictures come in, letters go out."""
