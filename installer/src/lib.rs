//! `storectl`, the field installer: its place in the workspace. Nothing is built here yet.
