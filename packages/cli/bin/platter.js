#!/usr/bin/env node
// Stands in the repository, unlike dist, so that a package manager can link the command before anything is built.
import '../dist/bin.js'
