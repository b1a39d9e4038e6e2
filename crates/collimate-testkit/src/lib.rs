//! Golden tables, finite differences and the devices that tests run on; enables the one Burn feature set of the workspace.
