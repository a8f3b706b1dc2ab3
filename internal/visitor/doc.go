// Package visitor carries the id of the browser that sent a request in the request's context. The
// browserid filter puts it there; the session manager reads it, and may give the browser a new id
// in the transaction of the request. Neither of the two has to import the other.
//
// A filter makes a [Context] with its own [Visitor]. Below it, [ID] returns the id as the
// transaction of a context sees it: [Context.Renew] changes it for that transaction, and when the
// transaction commits, [Visitor].SetID is called.
package visitor
