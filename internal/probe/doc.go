// Package probe checks whether a file could be created or written, and changes nothing. Commands
// such as serve check use it to report errors that a start would have:
//
//	err := probe.Create("/var/log/site/access.log") // nil: it could be created
package probe
