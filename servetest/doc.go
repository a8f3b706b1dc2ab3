// Package servetest runs the whole pipeline of an .ini file inside a test: its filters and its app,
// with sessions, transactions and retry, as the command serve runs them. A test sends requests and
// gets the responses that a browser would get.
//
//	func TestCount(t *testing.T) {
//		site := servetest.New(t, "development.ini", myapp.Register)
//		browser := site.Browser()
//		browser.PostForm("/count", nil)
//		got := browser.Get("/")
//		if got.Status != 200 || !strings.Contains(got.Body, "counted to 1") {
//			t.Errorf("got %d %s", got.Status, got.Body)
//		}
//	}
//
// # Databases
//
// In the settings, %(here)s is a temporary folder of the test instead of the folder of the file, so
// bolt://%(here)s/data.db is a new database. Files that the configuration reads, such as other .ini
// files and files with secrets, are still read from the folder of the file. Opening any other
// database is an error, unless it is in memory or named by [Config].Set. This covers databases that
// the app opens with [pipeline.Build.Storage] or the registry's opener; replace the setting of any
// other with Set. [Site.DB] opens the databases of the site, to prepare or check their contents.
//
// # Requests
//
// Browsers use the client and the server of net/http, connected by pipes in memory; no port is
// opened. The [server:] and [logging] sections of the file have no effect: log records go to the
// log of the test. For a client that needs a port, such as a real browser, pass [Site.Handler] to
// [net/http/httptest.NewServer].
//
// # Time
//
// Within [testing/synctest.Test] the site uses the clock of the bubble, because no goroutine waits
// for the network: a test of a time-out sleeps for twenty minutes of that clock. This works with
// the engines bolt and memory.
//
// # End
//
// When the test ends, the site is closed: its server, its jobs and its databases. An error while
// closing, or of a request, fails the test.
package servetest
