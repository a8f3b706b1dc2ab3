package formfiles_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pasteline/pasteline/internal/request/formfiles"
)

func upload() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(
		"--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\ncontent\r\n--x--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	return r
}

func ExampleHandBack() {
	r := upload()
	own := r.WithContext(r.Context())
	if err := own.ParseMultipartForm(1); err != nil { // 1: in a file
		fmt.Println(err)
	}
	formfiles.HandBack(r, own)
	fmt.Println("net/http knows of the form:", r.MultipartForm == own.MultipartForm)
	if err := r.MultipartForm.RemoveAll(); err != nil {
		fmt.Println(err)
	}
	// Output: net/http knows of the form: true
}

func ExampleRemove() {
	r := upload()
	own := r.WithContext(r.Context())
	if err := own.ParseMultipartForm(1); err != nil {
		fmt.Println(err)
	}
	formfiles.Remove(r, own)
	_, err := own.MultipartForm.File["f"][0].Open()
	fmt.Println("the file is gone:", errors.Is(err, fs.ErrNotExist))
	// Output: the file is gone: true
}
