window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null, // its badge would ask another host
  docExpansion: "list",
  defaultModelsExpandDepth: -1, // what an answer looks like stands beside each route
  persistAuthorization: false, // a token belongs in no storage
});
