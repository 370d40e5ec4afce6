// Draws the reference of the API from its OpenAPI document with Swagger UI. Its own start script stands in its page, which
// the portal's policy forbids, and its own layout makes a second <main> of the list.

const place = document.getElementById("reference");

let react;

const Layout = ({ getComponent, specSelectors }) => {
  const { createElement } = react;
  const failed = `${specSelectors.loadingStatus()}`.startsWith("failed");
  // Until its document is there, the list would say that there are no operations.
  if (!failed && !specSelectors.specStr()) return createElement("p", { role: "status" }, "Reading the routes …");
  const parts = ["SvgAssets", "errors", "AuthorizeBtnContainer", "operations"];
  const drawn = parts.map((name) => createElement(getComponent(name, name !== "SvgAssets"), { key: name }));
  return createElement("div", { className: "swagger-ui" }, drawn);
};

const inTheFrame = (system) => {
  react = system.React;
  return {
    components: { Layout },
    wrapComponents: {
      // Both stand in a button, where no keyboard and no screen reader finds what can be pressed.
      CopyToClipboardBtn: () => () => null,
      DeepLink: () => ({ text }) => react.createElement("span", null, text),
    },
  };
};

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  presets: [window.SwaggerUIBundle.presets.apis],
  plugins: [inTheFrame],
  layout: "Layout",
  requestInterceptor(request) {
    if (request.method && request.method !== "GET") Object.assign(request.headers, JSON.parse(document.body.getAttribute("hx-headers")));
    return request;
  },
});
