// Package health is an app that tells load balancers and monitors whether the process lives, and
// whether it is ready for requests. It replaces the Healthcheck app of OpenStack's oslo.middleware,
// also under its names.
//
// In an .ini file, below a path of the site and outside of its filters:
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = site
//	/health = health
//
//	[app:health]
//	use = egg:pasteline#health
//
// In Go code, [Register] adds the app to a registry. It answers at two paths below its own:
//
//	/health/live    200 if the process answers at all
//	/health/ready   200 if it should get requests, else 503
//	/health         the same as /health/ready
//
// The process is ready if each open database has answered a read within the time of the setting
// timeout, crash recovery goes on, the server is not about to stop, and the file of the setting
// disable_by_file_path does not exist. A restart does not help a database that is down, so
// liveness does not depend on databases: use /live to restart a process and /ready to send
// requests to it.
//
// # Stopping
//
// On the signal to stop, /ready answers 503 at once. With the setting drain_delay in the [server:]
// section the server goes on answering all requests for that time, in which the load balancer
// notices, and only then stops to accept connections:
//
//	[server:main]
//	use = egg:pasteline#http
//	drain_delay = 15s
//
// # The answer
//
// The answer is plain text, or JSON if the Accept field of the request asks for application/json:
// OK or UNAVAILABLE. Clients that the settings allow and token name get the result of each check
// too, with the names of the databases and their errors; by default these are the clients on the
// same machine.
//
// # Where it differs from oslo.middleware
//
//   - The databases are always checked. The setting backends has no effect, as disable_by_file_path
//     alone turns that check on.
//   - The setting path has no effect: the app answers where it is mounted. The filter of the same
//     name is not there; mount the app with egg:Paste#urlmap.
//   - Details are shown to some clients by default; detailed = false hides them from all.
//   - HEAD is answered with 200, not 204.
package health
