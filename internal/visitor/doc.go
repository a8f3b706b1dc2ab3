// Package visitor is where the id of the browser that sent a request is kept in the request's context: the browserid
// filter puts it there, the session manager finds it, and gives the browser a new one in the transaction of the
// request. So neither of the two knows the other.
//
// A filter makes a [Context] with a [Visitor] of its own. Below it, [ID] returns the id as the transaction of a context
// sees it: [Context.Renew] changes it for that transaction, and the [Visitor] is told when that commits.
package visitor
