// Package site runs a site: it loads the server and the pipeline that an .ini file describes,
// listens, reloads the file on request or when it has changed, and shuts down. Package serve, which
// has the commands, starts it for serve CONFIG.
//
//	err := site.Run(ctx, site.Options{Config: "site.ini", Register: register, Log: log, …})
//
// A request goes from the server to a relay, which passes it to the newest pipeline. A reload
// creates a new pipeline beside the running one and replaces it in the relay; the replaced one is
// closed after its last request. When ctx is done, the server stops accepting connections, running
// requests may finish, and the pipelines and the server are closed in that order.
//
// site.go has this course of events, load.go the load, reload.go and relay.go the replacement,
// sources.go the detection of changed files, and supervisor.go the reports to systemd.
package site
