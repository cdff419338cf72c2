"""The front: an ASGI application that takes requests in and hands whole ones to Django's threads.

A client that sends slowly, reads slowly or waits holds a coroutine; threads and database connections are for work.
"""
