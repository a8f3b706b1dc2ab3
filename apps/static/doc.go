// Package static is an app that serves the files of a folder. It corresponds to the app of that
// name in Paste, the Python package for web pipelines.
//
// In Go code, [New] returns the handler. In an .ini file (after egg: stands the name that a package
// gives to its app; egg:pasteline#static is the same):
//
//	[app:static]
//	use = egg:Paste#static
//	document_root = %(here)s/static
//	cache_max_age = 3600
//
// A path that names a folder is answered with its index.html; without the
// slash at the end it is redirected to the path with the slash. Folders are not listed. Conditional
// requests and ranges are supported, files are sent by the operating system (sendfile) where
// possible, and if a file is replaced while it is sent, the old content is sent completely.
//
// A missing file is answered with 404, also for other methods than GET and HEAD, so that the app
// can stand first in a cascade.
//
// # Files that are never served
//
// Files outside of the folder are never served: the folder is opened once, as an [os.Root], and
// every path is looked up below it. The answer is 404 for a symbolic link that leads out of the
// folder, for ".." in any notation, and for anything but a regular file (a pipe, a device).
//
// Files whose name begins with a dot, and files in such folders (.env, .git/config), are not served
// unless dot_files is true. The folder .well-known in the root is served, as it is meant to be
// public (RFC 8615).
//
// # Where it differs from Paste
//
//   - A missing folder is refused when the .ini file is loaded; a relative path begins at the
//     folder of the .ini file, not at the current folder of the process.
//   - Symbolic links that lead out of the folder are not followed, and ".." is not resolved.
//   - Names that begin with a dot are answered with 404, unless dot_files is true.
//   - A path that continues after the name of a file, even with only a slash, is answered with 404.
//   - Entity tags are quoted, as HTTP requires, so that conditional requests work.
//   - A compressed file (.gz) is served without a Content-Encoding, which would make browsers
//     decompress it.
//
// # Caveats
//
// A symbolic link inside the folder is served under its own name, even if it leads to a name that
// begins with a dot. Don't serve the root of a source tree.
package static
