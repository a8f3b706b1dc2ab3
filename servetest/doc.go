// Package servetest tests a whole pipeline inside the test process: the filters and the app of an .ini file, with sessions,
// transactions and retry, as the command serve runs them. Use it where a test should see what a browser sees.
//
//	func TestCount(t *testing.T) {
//		site := servetest.New(t, "development.ini", myapp.Register)
//		browser := site.Browser()
//		browser.PostForm("/count", nil)
//		if got := browser.Get("/"); got.Status != 200 || !strings.Contains(got.Body, "counted to 1") {
//			t.Errorf("got %d %s", got.Status, got.Body)
//		}
//	}
//
// # Databases
//
// %(here)s, which stands for the folder of the file, is a temporary folder of the test, so bolt://%(here)s/data.db is a new
// database. Files that the configuration reads, such as other .ini files and files with secrets, are still read from the
// folder of the file. To open any other database is an error, unless it is in memory or [Config].Set names it. Only databases
// that the app opens by [pipeline.Build.Storage] or the registry's opener are covered: one that it opens in another way has
// to be replaced with Set. [Site.DB] opens the databases of the site, to prepare or check their contents.
//
// # Requests
//
// Browsers and server are connected by pipes in memory, through the client and the server of net/http; no port is opened. The
// [server:] and [logging] sections of the file have no effect: log records go to the log of the test. For a client that needs
// a port, such as a real browser, pass [Site.Handler] to [net/http/httptest.NewServer].
//
// # Time
//
// Within [testing/synctest.Test] the site has the clock of the bubble, since nothing waits for the network: a test of a
// time-out sleeps for twenty minutes and takes no time. That holds for the engines bolt and memory.
//
// # End
//
// When the test ends, the site is closed: its server, its jobs, its databases. What goes wrong then, or with a request, is an
// error of the test.
package servetest
