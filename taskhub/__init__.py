import gc

__version__ = "0.1.0"

# To load the product makes hundreds of thousands of objects that stay. By default the garbage collector would look
# through them again and again meanwhile: that took a quarter of each program's start.
gc.set_threshold(20_000, 20, 50)
