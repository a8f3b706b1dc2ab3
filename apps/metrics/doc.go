// Package metrics is an app that shows the metrics of the whole site to Prometheus: requests with
// the outcome of their transactions, attempts, conflicts, queues, commits, sessions, databases and
// crash recovery.
//
// In an .ini file, below a path of the site:
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = site
//	/metrics = metrics
//
//	[app:metrics]
//	use = egg:pasteline#metrics
//
// In Go code, [Register] adds the app to a registry. The app counts the requests of all apps and
// filters of the file, also of those in front of it. The answer is in the text format of
// Prometheus, or in OpenMetrics if the client prefers that.
//
// # Who may read them
//
// The metrics are not for the public. By default only clients on the same machine get them, and
// clients that send the token of the setting token; see the settings allow and token. A request
// that came through a proxy always needs the token.
//
// # Metrics
//
// All names begin with pasteline_, except those of the Go runtime (go_) and of the process
// (process_).
//
//	http_requests_total              by app, route, method, status and outcome
//	http_request_duration_seconds    histogram, by app, route and method
//	http_requests_in_flight
//	http_request_panics_total
//	http_response_bytes_total
//	attempts_total                   by outcome
//	conflicts_total                  by database and bucket
//	queue_wait_seconds               histogram, by database: waits for a contended key
//	queue_timeouts_total             by database
//	commit_duration_seconds          histogram, by result: committed, conflict, failed
//	commit_group_size                histogram: transactions that shared a write to the disk
//	commit_write_wait_seconds        histogram
//	commit_write_seconds             histogram
//	sql_statement_duration_seconds   histogram, by database
//	sql_statement_errors_total       by database
//	sessions_begun_total
//	sessions_ended_total             by reason: invalidated, expired
//	sessions_renewed_total
//	sessions_swept_total
//	session_sweeps_total             by result
//	session_sweep_duration_seconds   histogram
//	responses_released_total         by how: flushed, hijacked
//	bodies_spooled_total             by body: request, response
//	buffer_memory_bytes, buffer_file_bytes
//	buffer_reserve_bytes, buffer_reserve_used_bytes
//	transactions_in_doubt
//	recovery_settled_total           by verdict: committed, rolled_back
//	recovery_failures_total, recovery_passes_total
//	recovery_last_pass_timestamp_seconds
//	config_reloads_total             by result
//	config_last_load_successful, config_last_load_timestamp_seconds
//	draining                         1 once the server is about to stop
//	database_...                     by database: values of the storage engine, such as
//	                                 database_file_size_bytes and database_pool_connections_used
//	build_info                       by version and goversion
//
// The outcome of a request is that of its last transaction: committed, aborted, vetoed (because of
// its status), doomed (marked to be aborted), conflict (lost in the last attempt), gone (the client
// left), failed (the commit failed), or none.
//
// # Labels
//
// The route is the pattern of the router, such as /items/{id}, behind the path at which the app is
// mounted; never the path of a request. It is none for an app without a router. Conflicts are
// counted by bucket and not by key, of which there may be any number. A method that is not one of
// HTTP's own is counted as other, as are the routes and buckets that come after many different
// ones. So no client can make the metrics grow without limit.
//
// # Reloads
//
// The counters go on over a reload, as long as the section keeps its name. The metrics are those of
// one process: each process of a site with several has its own.
package metrics
