// Package attempt is the contract between the filters retry and tm, the response buffer, and the
// handlers behind them: how one attempt at a request ended.
//
// A handler that returns an error (package handler) records it in the [Result] that the request's
// context carries. Filters look at the Result on the way out: tm aborts the transaction, retry runs
// the request again if the error is transient, and the outermost of them answers with [Respond] and
// logs with [Log]. A commit that fails is recorded in the same way, so that outer filters see one
// kind of failure.
//
// A filter that begins an attempt calls [NewContext]; one that ends attempts before its handlers do
// gives them a part of the outer Result, see [Result.Part].
package attempt
