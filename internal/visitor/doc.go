// Package visitor stores the id of the browser that sent a request in the request's context. The
// browserid filter puts it there, and the session manager reads it and gives the browser a new one
// in the transaction of the request. Neither of the two has to import the other.
//
// A filter makes a [Context] with its own [Visitor]. Below it, [ID] returns the id as the
// transaction of a context sees it: [Context.Renew] changes it for that transaction, and the
// [Visitor] is told when that commits.
package visitor
