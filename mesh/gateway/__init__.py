"""The HTTP front of a mesh: whoever speaks curl, a browser or cron calls whichever server lives.

settings, statuses, problem, headers, multipart, openapi     pure: what is allowed, what is said, in which words
catalog                                          what the live servers offer
calls, views, watch                              calls, what is told about the mesh, the stream of what happens
connection, app, server                          bounds of connections, the application, uvicorn
"""
