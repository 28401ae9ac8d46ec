"""What kubectl alone asks for: discovery, OpenAPI, tables, protobuf."""
