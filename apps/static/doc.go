// Package static is an app that serves the files of a folder. It is Paste's static.
//
// In an .ini:
//
//	[app:static]
//	use = egg:Paste#static
//	document_root = %(here)s/static
//	cache_max_age = 3600
//
// In Go code, use [New]. A path that names a folder is answered with its index.html; without the
// slash at the end it is redirected to the path with the slash. Folders are not listed. Conditional
// requests and ranges are supported, files are sent by the operating system (sendfile) where
// possible, and if a file is replaced while it is sent, the old content is sent completely.
//
// A missing file is 404, also for other methods than GET and HEAD; so the app can stand first in a
// cascade.
//
// # Files that are never served
//
// Files outside the folder: it is opened once, as an [os.Root], and every path is looked up below
// it. A symbolic link that leads out of it is 404, as are ".." in any notation, and anything but
// regular files (a pipe, a device).
//
// Files whose name begins with a dot, and files in such folders (.env, .git/config), unless
// dot_files is true. The folder .well-known in the root is served, as it is meant to be public (RFC
// 8615).
//
// # Where it differs from Paste
//
//   - A missing folder is refused when the .ini is loaded; a relative one begins at the .ini, not
//     at the current folder of the process.
//   - Symbolic links that lead out of the folder are not followed, and ".." is not resolved.
//   - Names that begin with a dot are 404, unless dot_files is true.
//   - A path that goes on after a file, even with only a slash, is 404.
//   - Entity tags are quoted, as HTTP requires, so that conditional requests work.
//   - A compressed file (.gz) is served without a Content-Encoding, which would make browsers
//     decompress it.
//
// # Caveats
//
// A symbolic link inside the folder is served under its own name, even if it leads to a name that
// begins with a dot. Don't serve the root of a source tree.
package static
