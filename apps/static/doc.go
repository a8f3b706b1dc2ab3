// Package static is an app that serves the files of a folder. It is Paste's static.
//
// In an .ini:
//
//	[app:static]
//	use = egg:Paste#static
//	document_root = %(here)s/static
//	cache_max_age = 3600
//
// In Go code, [New]. A path that names a folder is answered with its index.html, and without the slash at the end with a
// redirect to the path that has it. Folders are not listed. Conditional requests and ranges are answered as such, files
// are sent by the operating system where it can, and of a file that is replaced while it is sent the old content arrives whole.
//
// What is not there is 404, also for other methods than GET and HEAD; so the app can stand first in a cascade.
//
// # What is never served
//
// Nothing outside the folder: it is opened once, as an [os.Root], and every path is looked up below it. A symbolic link
// that leads out is 404, as are "..", in any writing, and what is no regular file (a pipe, a device).
//
// Nothing whose name begins with a dot, and nothing in a folder with such a name (.env, .git/config), unless dot_files is true. Only
// the folder .well-known in the root is served, which is there for visitors (RFC 8615).
//
// # Where it differs from Paste
//
//   - A folder that does not exist is refused when the .ini is loaded; a relative one begins at the .ini, not at the
//     folder that the process happens to run in.
//   - Symbolic links that lead out of the folder are not followed, and ".." is not resolved.
//   - Names that begin with a dot are 404, unless dot_files is true.
//   - A path that goes on after a file, even with a slash alone, is 404.
//   - Entity tags are quoted, as HTTP has it, so that conditional requests work.
//   - A packed file (.gz) is what it is, and has no Content-Encoding that makes browsers unpack it.
//
// # Caveats
//
// A symbolic link inside the folder is served under its own name, also if it leads to a name that begins with a dot. Don't serve
// the root of a source tree.
package static
